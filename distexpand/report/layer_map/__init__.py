"""The layer map: a picture and a page of where every output layer comes from."""
