"""The gRPC services: from bytes to the member's ports and back."""
