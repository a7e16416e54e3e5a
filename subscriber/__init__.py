"""The service that follows the log and delivers messages to subscribers."""
