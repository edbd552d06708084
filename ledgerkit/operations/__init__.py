"""One file an operation; the file name is the name of the operation and of its command."""
