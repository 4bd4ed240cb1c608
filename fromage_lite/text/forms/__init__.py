"""Forms of talk that every shipped world shares: how people ask for pictures, follow up, remark and mistype.

Plain text with gaps, no model. A world (`fromage_lite.text.forms.world.World`) brings its own words.
"""
