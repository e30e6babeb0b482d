"""Real servers for the tests, each started on free ports of this machine from a package that needs no root."""
