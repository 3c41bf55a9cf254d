"""Other people's command lines, run as they are: argument lists, never a shell."""
