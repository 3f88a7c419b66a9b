"""S3's own: uploads that others can go on with, and copies within the store."""
