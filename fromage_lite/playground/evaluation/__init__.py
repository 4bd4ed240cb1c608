"""The playground's figures."""
