"""What nobody may: read without credentials, learn a secret, put words into a query, have us call elsewhere."""
