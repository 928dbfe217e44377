"""sixrayd: from SIXray to SIXray-D, with a paper trail for every box."""

__version__ = "0.1.0"
