"""What `import distexpand` offers: the command line's work as functions that fit a script and a notebook."""
