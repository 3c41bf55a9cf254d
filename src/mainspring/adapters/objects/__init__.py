"""Object stores (S3, Google Cloud Storage, Azure Blob; a folder or memory in tests) by obstore, extra `objects`."""
