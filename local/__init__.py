"""The whole cloud on a laptop: the deployed handlers among local stand-ins for AWS, Meta and CloudFront."""
