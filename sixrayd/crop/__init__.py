"""Where the luggage is: image → region, by TDC and by the methods that the paper sets beside it."""
