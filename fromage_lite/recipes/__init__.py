"""Training recipes: one small TOML file each, read by `fromage_lite.recipes.recipe`."""
