"""The chat service: rooms, logins, members, history and a web page, as an application on the pipeline."""
