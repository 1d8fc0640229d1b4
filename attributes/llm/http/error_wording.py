"""The words and codes by which servers say what is wrong. Collected from bug reports and the servers' documentation.

Codes are in lower case. The numbers are those of Zhipu (1113, 1211, 13xx) and MiniMax (1026, 1027).
"""

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The answer would have been longer than the token limit of the request.
_MAX_TOKENS = r"max_?(output_|completion_|new_)?tokens"
CUT_OFF = _any(
    r"could not finish the (message|response|generation)",
    rf"({_MAX_TOKENS}|output (token )?limit|(max(imum)? )?(completion|output) tokens?)\b"
    r"[^.]{0,60}\b(was |were |is |has been |been )?(reached|hit|exhausted)\b",
    r"\b(reached|hit|ran out of|exhausted) (the |its |your )?(max(imum)?[ _])?"
    r"(output|completion|max|response)[ _]?tokens?\b",
    r"(generation|response|output|completion) (was |is |has been |got )?(truncated|cut off|incomplete)[^.]{0,60}"
    r"(token|length|limit)",
    rf"(increas\w+|higher) (the )?`?{_MAX_TOKENS}",
)
# One request alone exceeds the limit per minute: waiting does not help.
LARGER_THAN_LIMIT = _any(r"request too large", r"tokens must be reduced")
# The prompt is too long, or the limit too large: no larger limit helps.
TOO_LONG = _any(
    r"context[ _](length|window|size|limit)",
    r"(prompt|input|request|messages?) (is|are|was) too (long|large)",
    r"too many (input |prompt )?tokens",
    r"request too large",
    r"reduce the length",
    r"reduce (your|the) (prompt|message|input|request)",
    r"input tokens? (exceed|count)|exceeds? the (maximum|model'?s?) (number|limit|context|input)",
    r"must be reduced",
    r"maximum (input|prompt) (length|size|token)",
)
KEY_CODES = _codes("""
    invalid_api_key incorrect_api_key authentication_error invalid_authentication_error invalid_authentication
    unauthenticated unauthorized invalidapikey api_key_invalid missing_api_key account_deactivated account_suspended
    unsupported_country_region_territory key_disabled invalid_iam_token ip_not_authorized access_denied_ip
    expired_api_key api_key_expired invalidaccesskeyid authenticationerror regionerror no_db_connection
""")
_KEY = r"(api|access|secret|auth\w*)[- _]?(key|token)"
_NOT_ALLOWED = r"(not (supported|allowed|available|permitted)|unsupported|unavailable|blocked)"
KEY_REFUSED = _any(
    rf"{_KEY}s?\b[^.;,]{{0,40}}?\b(not valid|invalid|incorrect|wrong|missing|expired|disabled|deactivated|revoked|"
    r"suspended|blocked|leaked|deleted|required|unknown|not found|not recogni[sz]ed|malformed)",
    rf"(invalid|incorrect|wrong|missing|unknown|bad|expired|no|provide an?|provide your) {_KEY}",
    r"\b(account|organi[sz]ation|project|workspace|subscription|team|tenant|key|token|user) (\S+ ){0,5}?"
    r"(is|was|has been|have been|not) (\w+ )?(invalid|disabled|deactivated|suspended|revoked|expired|blocked|banned|"
    r"leaked|flagged|terminated|not active|inactive|deleted|locked|restricted|on hold)",
    rf"(country|region|territory|location)\b[^.]{{0,40}}\b{_NOT_ALLOWED}",
    rf"{_NOT_ALLOWED} in (your|this) (country|region|location|territory)",
    r"\bip\b( address)?.{0,60}\b(not (allowed|authori[sz]ed|permitted|whitelisted|in)|blocked|denied|banned|"
    r"restricted)",
    r"not in (the |your )?(\w+ )?(allow|white)[- ]?list",
    r"(missing|insufficient|lacks?|not have) (the )?(required )?(scopes?|permissions?)",
    r"(do(es)?n[o']t|not|do not|does not) have (the )?(access|permissions?|scope)\b(?![^.]{0,40}\bmodel\b)",
    r"authentication (failed|failure|required|error|fails)|not authenticated|unauthenticated|login fail",
    r"(api|access) (is )?(not enabled|disabled|has not been used)",
)
FIREWALL = _any(
    r"cloudflare|incapsula|imperva|akamai|sucuri|\bwaf\b|web application firewall",
    r"attention required|just a moment|enable (javascript|cookies)",
    r"access denied|you have been blocked",
    r"\bray id\b|error (code:? )?10\d\d\b|reference #",
)
QUOTA_CODES = _codes("""
    insufficient_quota billing_hard_limit_reached billing_not_active billing_error insufficient_balance
    insufficient_user_quota insufficient_credits insufficient_funds exceeded_current_quota_error arrearage
    budget_exceeded allocationquota.freetieronly payment_required insufficient_balance_error quota_exceeded_error
    pre_consume_token_quota_failed accountoverdueerror 1113
""")
NO_QUOTA = _any(
    r"exceeded (your|the) (current|monthly) quota",
    r"credit balance is too low",
    r"insufficient[ _](account )?(balance|credits?|funds?|quota)",
    r"(not enough|out of|no (more|remaining)|requires? more|used all( available)?) (\w+ ){0,3}"
    r"(credits?|balance|funds|quota)\b",
    r"\bno (credits?|balance|funds|quota) (left|remaining|available)",
    r"payment (is )?required|overdue|in arrears|arrearage|good standing",
    r"(billing|spend(ing)?|monthly|credit|usage|budget|key|cost) (hard |usage |total )?limit (has been |was |is )?"
    r"(reached|exceeded)",
    r"reached (your|its|the) (specified |monthly |organi[sz]ation'?s? )*(api )?(usage|spend\w*|billing|credit|budget) "
    r"limit",
    r"budget has been exceeded|exceeded (your |the )?(monthly )?(budget|spend\w*)",
    r"(check|update|add|enable|set ?up) (your )?(plan and )?(billing|payment)( details| method)?",
    r"(top[- ]?up|recharge|add (more )?credits)",
    r"free (tier|quota|trial|allocated quota)\b[^.]{0,40}(exhausted|used up|exceeded|ended|expired)",
    r"余额不足|欠费|额度不足",
)
RATE_CODES = _codes("""
    rate_limit_exceeded rate_limit_error rate_limited rate_limit rate_limit_reached_error too_many_requests
    toomanyrequests throttling throttlingexception throttled resource_exhausted engine_overloaded_error slow_down
    limit_requests limit_burst_rate requests tokens 1302 1303 1305 ratelimiterror toomanyrequestsexception
    throttling.ratequota throttling.burstrate throttling.allocationquota
""")
RATE_LIMIT = _any(
    r"rate[ -]?limit|too many requests|throttl|concurrency|requests? per (second|minute|min)\b",
)
# A 500 that the same request would always get: it is no outage.
ABOUT_REQUEST = _any(
    r"(image|audio|video|vision|multimodal|modality|tool|function|role|grammar|schema|template|format)\w*"
    r"[^.]{0,40}\b(not supported|unsupported|not implemented|not allowed)",
    r"(unknown|unsupported|unrecogni[sz]ed|invalid) (\w+ )?(reasoning|chat|tool|image|response|message)[\w ]{0,20}"
    r"(format|template|choice|type|role|content)",
    r"output that does not match the expected",
    r"(failed|unable) to (parse|apply|render|compile|convert|tokenize|process) (the |your )?(\w+ )?"
    r"(grammar|template|schema|prompt|messages?|image|output|response|tool)",
)
OVERLOAD_CODES = _codes("overloaded_error server_overloaded engine_overloaded overloaded model_loading")
OVERLOADED = _any(
    r"overload|loading model|at capacity|no capacity|temporarily unavailable|currently unavailable",
    r"model\b[^.]{0,60}\b(is )?(currently |still )?(loading|starting|warming)",
)
FILTER_CODES = _codes("""
    content_filter content_policy_violation responsibleaipolicyviolation data_inspection_failed datainspectionfailed
    internalerror.algo.datainspectionfailed content_filtered guardrail_intervened moderation moderation_error
    moderation_blocked sensitive_content sensitivecontentdetected inputtextsensitivecontentdetected
    outputtextsensitivecontentdetected sensitive_words_detected safety prohibited_content blocklist recitation spii
    prompt_blocked content_blocked safety_violation content_moderation contentfilter 1301 image_safety refusal
    content_policy 1026 1027
""")
FILTERED = _any(
    r"\bflagged\b",
    r"moderat(ion|ed|or)",
    r"content[ _-]?(management |usage |safety )?(policy|policies|filter)",
    r"(usage|safety|content|community|acceptable use) (polic(y|ies)|guidelines?)",
    r"violat\w+ (\w+ ){0,4}(polic(y|ies)|guidelines?|terms|safety|rules)",
    r"inappropriate|unsafe|harmful|offensive|prohibited (content|use)|objectionable|nsfw|jailbreak",
    r"sensitive (content|information|words?|topics?|text|data|input)",
    r"(contains?|potentially|deemed|is|be) sensitive\b",
    r"content exists risk|(high|content|security|compliance) risk|risk(y)? content",
    r"safety (filter|system|check|setting|reason|concern|violation|classifier)|(due to|for) safety|safety_check",
    r"guardrail",
    r"(prompt|input|content|request|response|output) (was |is |has been )?(blocked|filtered) (by|due|because|for)",
    r"(blocked|rejected|filtered) (by|due to) (\w+ )?(safety|content|policy|moderation|security)",
    r"data[ _]?inspection",
    r"敏感|违规|不合规|不安全|风险",
)
MODEL_CODES = _codes("""
    model_not_found deploymentnotfound model_not_exist modelnotfound invalid_model model_not_supported
    model_not_available 1211 invalidmodel model_does_not_exist unknown_model unsupported_model modelnotopen
    invalidendpointormodel.notfound model_access_denied
""")
NO_MODEL = _any(
    r"pinned to \S+ *;? *requested",
    r"\b(model|deployment)\b[^.;]{0,100}?\b(not found|does ?n[o']t exist|not exist|not deployed|not loaded|"
    r"could not be found|cannot be found|no longer (available|exists)|not available (to|for|in)|not a valid|"
    r"has been (deprecated|decommissioned|removed|retired))",
    r"\b(invalid|unknown|no such|unrecogni[sz]ed|unsupported|non-?existent|missing) (model|deployment)\b"
    r"(?![ _](param|field))",
    r"not a valid model|no models? (is |are )?(currently )?loaded|try pulling it|model_not_found",
    r"(do(es)?n[o']t|not) have access to (the |this |that )?(model|deployment)|access to (the )?model\b",
    r"requested model\b[^.]{0,80}not supported",
    r"(unable to|cannot) access model|not authori[sz]ed to (access|use) (this |the )?model",
    r"no endpoints found (for|matching)|no (allowed|available) (providers|channel)|model `?\S+`? is not supported$",
    r"模型不存在|无可用渠道",
)
# OpenRouter: no provider of the model takes all parameters of the request.
NO_SUCH_PARAMETERS = _any(r"no endpoints found that (support|can handle)|requested parameters")
WRONG_PATH = _any(
    r"unexpected endpoint or method|unknown method|method not allowed|unknown (request )?(url|path|endpoint|route)",
    r"invalid url|cannot (post|get) /|unknown_url|not_implemented",
    r"no route matched|route\b[^.]{0,60}not found|no (such )?route|page not found",
    r"^(the )?(requested )?(resource|url|path|page|file)?\s*not found\.?$",
)
