"""Commands: publish, subscribe, chat, and the interactive client."""
