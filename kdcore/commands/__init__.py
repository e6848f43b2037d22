"""What the commands do, one package or module each, named as the command is."""
