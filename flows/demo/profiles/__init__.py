"""The products that the demo can simulate, by name."""

from collections.abc import Mapping
from typing import Final

from flows.demo.profile import Profile
from flows.demo.profiles.media import MEDIA
from flows.demo.profiles.saas import SAAS
from flows.demo.profiles.shop import SHOP

PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in (SHOP, SAAS, MEDIA)}
