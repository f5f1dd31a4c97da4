"""Reading files of networks of unknown origin as data: nothing in them is run, and time and memory are bounded."""
