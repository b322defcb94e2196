"""Write predictions as the next tool reads them."""
