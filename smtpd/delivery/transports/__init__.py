"""Ways for mail to leave, side by side behind one small interface: see `base`."""
