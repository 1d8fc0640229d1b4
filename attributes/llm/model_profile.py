"""What a server accepts for a model: the level of structured output, parameters to omit, and how much a model thinks.

    json_schema          OpenAI's `response_format` with the schema, which the server enforces
    json_object_schema   the schema beside `json_object`, as llama-cpp-python and others accept; also in the prompt
    json_object          `response_format` requests JSON; the schema is in the prompt
    prose                no `response_format`; the schema is in the prompt, the JSON is found in the response

OpenAI-compatible servers may refuse `response_format` (400, 422) or ignore it, take the token limit under another name,
accept no temperature but their own, or know no system role. Models that think before they answer need a larger limit.
`LearnedProfiles` remembers this per base URL and model, for a limited time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from attributes.llm.settings import LLMSettings

FormatLevel = Literal["json_schema", "json_object_schema", "json_object", "prose"]
LimitName = Literal["max_tokens", "max_completion_tokens", ""]
FORMAT_LEVELS: tuple[FormatLevel, ...] = ("json_schema", "json_object_schema", "json_object", "prose")
MAX_FAILURES = 3
LIFETIME_S = 24 * 3600.0
LOWER_LIFETIME_S = 3600.0  # with a lower format, which one bad answer can cause: the better one is tried again
REASONING_MARGIN = 1.5  # of the most reasoning tokens seen in one response
_LIMIT_NAMES: Mapping[LimitName, LimitName] = {"max_tokens": "max_completion_tokens", "max_completion_tokens": ""}


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What a server accepts for a model.

    `omitted`: optional parameters of the request that the server refuses. `limit_name`: the name of the token limit,
    empty if the server knows none. `has_system_role`: without it, the system message is put before the user's.
    `reasoning_tokens`: the most tokens of reasoning in one response so far.
    """

    level: FormatLevel = "json_schema"
    limit_name: LimitName = "max_tokens"
    omitted: tuple[str, ...] = ()
    has_system_role: bool = True
    reasoning_tokens: int = 0

    def lower(self) -> "ModelProfile | None":
        """The profile with the next lower level; None at the lowest level."""
        rest = FORMAT_LEVELS[FORMAT_LEVELS.index(self.level) + 1 :]
        return replace(self, level=rest[0]) if rest else None

    def without(self, parameter: str) -> "ModelProfile | None":
        """The profile without a parameter that the server refuses (`attributes.llm.refused_parameters`).

        The token limit is renamed first. None if the profile does not send the parameter.
        """
        if parameter in _LIMIT_NAMES and parameter == self.limit_name:
            return replace(self, limit_name=_LIMIT_NAMES[parameter])
        if parameter == "system":
            return replace(self, has_system_role=False) if self.has_system_role else None
        if parameter in ("", "response_format", "max_tokens", "max_completion_tokens") or parameter in self.omitted:
            return None
        return replace(self, omitted=tuple(sorted({*self.omitted, parameter})))

    def allowance(self, limit: int) -> int:
        """How many tokens to add to the token limit of a response, at most `limit`."""
        return min(limit, round(REASONING_MARGIN * self.reasoning_tokens))

    def as_json(self) -> dict[str, object]:
        """The stored form; `profile_from_json` reads it."""
        return StoredProfile.model_validate(vars(self)).model_dump(mode="json")


class StoredProfile(BaseModel):
    """A profile as it is stored."""

    model_config = ConfigDict(extra="forbid")

    level: FormatLevel
    limit_name: LimitName
    omitted: tuple[str, ...]
    has_system_role: bool
    reasoning_tokens: int


def profile_from_json(data: Mapping[str, object]) -> ModelProfile | None:
    """Read what `as_json` wrote. Returns None for anything else, such as the profile of a later release."""
    try:
        return ModelProfile(**StoredProfile.model_validate(data).model_dump())
    except ValidationError:
        return None


OnProfileLearned = Callable[[str, str, dict[str, object], float], None]


@dataclass
class _Learned:
    profile: ModelProfile
    is_proven: bool  # whether a valid response came with this profile
    expires_at: float
    num_failures: int = 0  # of its level, in a row


class LearnedProfiles:
    """Remembers, per base URL and model, the profile that gave a valid response, until it expires.

    One failure moves only that question down a level, because a model can err once; `MAX_FAILURES` in a row mean that
    the server ignores the format. `on_learned(base_url, model, profile, expires_at)` is called at once, in the same
    event loop, for every change, so that other processes can store it and `restore` it. `expires_at` is wall-clock time
    in seconds.
    """

    def __init__(self, on_learned: OnProfileLearned | None = None) -> None:
        self._on_learned = on_learned
        self._learned: dict[tuple[str, str], _Learned] = {}

    def is_proven(self, settings: LLMSettings) -> bool:
        """Whether this server and model have given a valid response before."""
        known = self._known(settings)
        return known is not None and known.is_proven

    def restore(self, base_url: str, model: str, saved: Mapping[str, object], expires_at: float) -> None:
        """Take over a stored profile. One that cannot be read or has expired is ignored."""
        if (profile := profile_from_json(saved)) and expires_at > time.time():
            self._learned[base_url, model] = _Learned(profile, is_proven=True, expires_at=expires_at)

    def profile(self, settings: LLMSettings) -> ModelProfile:
        """The profile of a question's first request."""
        known = self._known(settings)
        return known.profile if known else ModelProfile()

    def record_refusal(self, settings: LLMSettings, profile: ModelProfile) -> None:
        """The server refuses a parameter that `profile` leaves out; no later question sends it."""
        self._change(settings, replace(profile, level=self.profile(settings).level))

    def record_reasoning(self, settings: LLMSettings, tokens: int) -> None:
        """A response used this number of reasoning tokens."""
        profile = self.profile(settings)
        if tokens > profile.reasoning_tokens:
            self._change(settings, replace(profile, reasoning_tokens=tokens))

    def record_failure(self, settings: LLMSettings, profile: ModelProfile) -> None:
        """The server refused the format, or its response did not follow it."""
        known = self._known(settings)
        if known and known.is_proven and known.profile.level == profile.level:
            known.num_failures += 1

    def record_success(self, settings: LLMSettings, profile: ModelProfile) -> None:
        """The format gave a valid response."""
        known = self._known(settings)
        lifetime_s = LIFETIME_S if profile.level == FORMAT_LEVELS[0] else LOWER_LIFETIME_S
        if known is None or not known.is_proven:
            self._learn(settings, self._with_level(settings, profile), lifetime_s)
            return
        is_lower = FORMAT_LEVELS.index(profile.level) > FORMAT_LEVELS.index(known.profile.level)
        if is_lower and known.num_failures < MAX_FAILURES:
            return
        known.num_failures = 0
        if profile.level != known.profile.level:
            self._learn(settings, self._with_level(settings, profile), lifetime_s)

    def _with_level(self, settings: LLMSettings, profile: ModelProfile) -> ModelProfile:
        """What is known by now, with the level of this profile: other questions may have learned meanwhile."""
        known = self._known(settings)
        return replace(known.profile, level=profile.level) if known else profile

    def _known(self, settings: LLMSettings) -> _Learned | None:
        place = settings.base_url, settings.model
        known = self._learned.get(place)
        if known and known.expires_at <= time.time():
            del self._learned[place]
            return None
        return known

    def _change(self, settings: LLMSettings, profile: ModelProfile) -> None:
        known = self._known(settings)
        if known is None:
            expires_at = time.time() + LIFETIME_S
            self._learned[settings.base_url, settings.model] = _Learned(profile, False, expires_at)
        elif known.profile != profile:
            known.profile = profile
            if known.is_proven:
                self._tell(settings, known)

    def _learn(self, settings: LLMSettings, profile: ModelProfile, lifetime_s: float) -> None:
        learned = _Learned(profile, is_proven=True, expires_at=time.time() + lifetime_s)
        self._learned[settings.base_url, settings.model] = learned
        self._tell(settings, learned)

    def _tell(self, settings: LLMSettings, learned: _Learned) -> None:
        if self._on_learned is not None:
            stored = learned.profile.as_json()
            self._on_learned(settings.base_url, settings.model, stored, learned.expires_at)


shared_profiles = LearnedProfiles()
