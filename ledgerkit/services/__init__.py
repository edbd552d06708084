"""Clients for what is asked of others over HTTP: the only place from which anything is asked."""
