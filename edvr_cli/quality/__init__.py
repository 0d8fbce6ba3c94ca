"""Looking at results and measuring them."""
