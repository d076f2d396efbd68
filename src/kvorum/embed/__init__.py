"""A whole member as an object: `async with Member(config)`."""

from kvorum.embed.config import Config
from kvorum.embed.member import Member

__all__ = ["Config", "Member"]
