"""Execute the commands: publish, subscribe, chat, and the interactive client."""
