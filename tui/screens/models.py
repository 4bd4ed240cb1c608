"""The list of models that can be had, to choose one from."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from fromage_lite.catalogue import Model
from index.pictures.images import one_line
from tui.model_names import facts


class ChooseModel(ModalScreen[Model | None]):
    """A sheet over the chat; gives the chosen model, or None.

    Args:
        models: what there is to choose from.
        loaded: the name of the one that answers now.
    """

    CSS = """
    ChooseModel {
        align: center middle;
        background: $background 60%;
    }
    #models {
        width: 90%;
        max-width: 96;
        height: auto;
        max-height: 80%;
        border: round $primary;
        padding: 0 1;
        background: $background;
    }
    #models OptionList {
        height: auto;
        max-height: 100%;
        border: none;
        background: $background;
    }
    """
    BINDINGS = [Binding("escape", "dismiss(None)", "Close", id="models-close")]

    def __init__(self, models: Sequence[Model], loaded: str) -> None:
        super().__init__()
        self._models, self._loaded = tuple(models), loaded

    def compose(self) -> ComposeResult:
        with Vertical(id="models") as sheet:
            sheet.border_title = "Talk with which model?"
            sheet.border_subtitle = "Enter loads it, the conversation goes on · Esc closes"
            yield OptionList(*(Option(self._words(model)) for model in self._models), compact=True)

    def _words(self, model: Model) -> Content:
        mark = "  ● answers now" if model.name == self._loaded else ""
        return Content.assemble(
            (one_line(model.name), "bold" if model.is_here else "$text-muted"),
            (mark, "$success"),
            f"\n  {one_line(model.good_at)}\n",
            (f"  {one_line(facts(model))}", "$text-muted"),
        )

    def on_mount(self) -> None:
        found = self.query_one(OptionList)
        names = [model.name for model in self._models]
        found.highlighted = names.index(self._loaded) if self._loaded in names else 0
        found.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._models[event.option_index])
