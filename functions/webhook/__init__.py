"""Meta's webhook: event → verified → parsed → items → stored → queued."""
