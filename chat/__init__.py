"""The rooms application: chat on the pipeline, with logins, members, history and a web page."""
