"""A package of somebody else's: one method for each kind of translator that the house has none of yet."""
