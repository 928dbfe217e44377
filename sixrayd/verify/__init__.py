"""Computing a certificate's bound again, on any machine, without the workspace."""
