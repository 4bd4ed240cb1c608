"""Conversations that outlive the app: kept in SQLite, listed, searched, resumed, exported, imported."""
