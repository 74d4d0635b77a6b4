"""What answers look like: schemas, and the records they are made from."""
