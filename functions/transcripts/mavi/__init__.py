"""The provider: the Mavi API v2 of Memories.ai (https://api-tools.memories.ai)."""
