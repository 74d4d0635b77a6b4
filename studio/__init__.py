"""The studio: the page that musicians open. Static files, and what serves and checks them."""
