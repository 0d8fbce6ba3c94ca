"""Sample layouts and colors of decoded frames."""
