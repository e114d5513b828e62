"""The key pairs that sign addresses at the edge: CloudFormation asks for them, they are made and kept inside AWS."""
