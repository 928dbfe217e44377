"""How much is still missed: random spot checks, the bound they give, and its certificate."""
