"""Wordings of error messages, refusals, placeholders and talk about the task, for `attributes.meta_text`.

Regular expressions over folded text with plain quotes and single spaces. Those named START are compared at the
beginning of a text, SENTENCE at the beginning of a sentence or clause, ANYWHERE at each position. Collected from
published files (CuPL, DCLIP, arXiv:2307.03135, meta-prompting) and from the messages of servers and browsers.
"""

_CANNOT = (
    r"(?:cannot|can't|cant|can not|could not|couldn't|am unable|'m unable|am not able|'m not able|will not be able"
    r"|won't be able|would not be able|wouldn't be able|was unable|was not able|wasn't able|must decline|have to"
    r" decline)"
)
_DESCRIBE = r"(?:describe|provide|give|generate|answer|create|write|produce|offer|complete|fulfill?|respond|comply)"
_REASONS = (
    r"bad request|unauthori[sz]ed|payment required|forbidden|not found|method not allowed|request time-?out|conflict"
    r"|payload too large|unprocessable (?:entity|content)|too many requests|internal server error|server error"
    r"|bad gateway|service (?:temporarily )?unavailable|gateway time-?out|client error|overloaded|error"
)
_SLOT = (
    r"(?:label|class|category|name|object|subject|description|descriptor|attribute|attributes|text|value|phrase"
    r"|sentence"
    r"|answer|item|species|noun|adjective|feature|features|response|placeholder|your|insert|title|topic|word|thing"
    r"|concept|animal|bird|colou?r|part|field|string|input|output|prompt|question|caption|list|unknown|blank"
    r"|redacted)"
)

BLANK = (
    *(
        "n/a",
        "n.a",
        "na",
        "none",
        "null",
        "nil",
        "nan",
        "undefined",
        "todo",
        "to do",
        "tbd",
        "tba",
        "tbc",
        "fixme",
        "xxx",
    ),
    *("unknown", "unspecified", "not available", "not applicable", "not specified", "not provided", "not known"),
    *("not sure", "no answer", "no description", "no data", "no information", "no response", "no result", "no results"),
    *(
        "no content",
        "no text",
        "no details",
        "no information available",
        "no information provided",
        "no data available",
    ),
    *("no description available", "no description provided", "none provided", "none available", "none found"),
    *(
        "none known",
        "nothing",
        "missing",
        "error",
        "failed",
        "true",
        "false",
        "placeholder",
        "json",
        "string",
        "lorem ipsum",
    ),
    *("description", "the description", "a description", "the label", "the class", "the category", "the sentence"),
    *("the answer", "the object", "the subject", "the phrase", "sentence", "phrase", "attribute", "attributes"),
    *(
        "visual attributes",
        "your answer here",
        "your answer",
        "your description",
        "your description here",
        "sure",
        "okay",
    ),
    *(
        "insert description here",
        "[blocked]",
        "[redacted]",
        "[removed]",
        "[deleted]",
        "[censored]",
        "[filtered]",
        "insert text here",
        "text here",
        "description here",
        "example",
        "[]",
        "{}",
    ),
    *("keine angabe", "keine angaben", "k. a", "k.a", "unbekannt", "nicht verfügbar", "nicht bekannt", "keine"),
    *(
        "inconnu",
        "inconnue",
        "aucun",
        "aucune",
        "non disponible",
        "non spécifié",
        "néant",
        "desconocido",
        "desconocida",
    ),
    *("ninguno", "ninguna", "no disponible", "sin información", "desconhecido", "desconhecida", "nenhum", "nenhuma"),
    *("não disponível", "sconosciuto", "sconosciuta", "nessuno", "nessuna", "non disponibile", "onbekend", "geen"),
    *("okänd", "ukjent", "ukendt", "nieznany", "nieznane", "brak", "brak danych", "neznámý", "bilinmiyor", "yok"),
    *(
        "неизвестно",
        "нет данных",
        "нет",
        "невідомо",
        "未知",
        "未知的",
        "不明",
        "无",
        "無",
        "暂无",
        "不详",
        "不適用",
        "不适用",
    ),
    *(
        "なし",
        "該当なし",
        "特になし",
        "없음",
        "알 수 없음",
        "해당 없음",
        "غير معروف",
        "لا يوجد",
        "अज्ञात",
        "không có",
        "tidak diketahui",
    ),
)
"""Whole texts, without quotes and the punctuation at the end, in which nothing is filled in."""

TEMPLATE = (
    r"%[a-z_]+%",
    rf"[<\[{{](?:[\w' -]+ )?{_SLOT}(?:[ _-][\w' -]+)?\d*[>\]}}]",
    r"\((?:insert|add|enter|fill in|your) [\w' -]+\)",
    r"\{\{|\}\}|\{\d*\}|\{[a-z_]+\}",
    r"(?<!\w)\$\{?[a-z_]{3,}",
    r"%s\b|%\(\w+\)s",
    r"\[object object\]",
    r"\blorem ipsum dolor\b",
    r"__(?:label|class|name)__|\b(?:class|category|object)_name\b|\blabel_\d+\b",
)

ERROR_WHOLE = (
    r"(?:http |error |status )?[45]\d\d",
    r"(?:could not|cannot|can't|unable to|failed to) (?:generate|process|complete)(?: .{0,20})?",
    rf"(?:{_REASONS})",
    r"(?:the |this )?(?:request|connection|operation|response|session|server|query|read) (?:has |was |is )?"
    r"(?:timed out|expired|failed|aborted|refused|reset|interrupted|cancell?ed|closed|unavailable)(?: .{0,40})?",
    r"(?:network|connection|server|parse|parsing|unknown|unexpected|system|internal|api|timeout|json) error",
    r"(?:ran )?out of memory|access denied|timed? ?out|request blocked|killed|segmentation fault(?: .*)?",
)

ERROR_START = (
    r"our servers? (?:is|are) \w+",
    r"only one message at a time|something (?:seems to have|may have|has|must have) gone wrong",
    r"access denied(?:[:.,!]| \||$)|(?:response|request|prompt|completion) (?:filtered|blocked|flagged|rejected"
    r"|truncated)\b",
    r"(?:\w+\.){2,}\w*(?:error|exception)\b",
    r"unusable response",
    r"(?:[a-z_]+\.)*\w*(?:error|exception)(?: \d+)?: ",
    r"error[:!] |error,? (?:\d{3}|code|communicating|generating|occurred|while|processing|connecting|fetching|loading"
    r"|parsing|retrieving|calling|creating|contacting|reading|decoding|from (?:the )?(?:server|api|openai))\b",
    r"error in (?:message stream|body stream|processing|generating|parsing|response|the response)",
    r"(?:http(?:s|/\d(?:\.\d)?)?|status|error)[ :]*(?:status|error|response)?[ :]*(?:code)?[ :]*[45]\d\d\b",
    rf"[45]\d\d[ :,-]+(?:{_REASONS})\b",
    r"(?:openai |api |the )?rate[ -]limit(?:s|ed|ing)?(?: has been| was| is)?(?: reached| exceeded| error| hit|:|$"
    r"|[.!])",
    r"(?:you|we|i)(?:'ve| have)? (?:exceeded|reached|hit) (?:your|our|my|the) [\w ]*(?:quota|limit|cap)\b",
    r"(?:insufficient|exceeded) [\w ]*quota|quota (?:has been )?exceeded",
    r"(?:we're|we are) (?:currently )?(?:experiencing|at capacity|having)\b",
    r"(?:chatgpt|openai|claude|gemini|bard|bing|copilot|deepseek|the model|this model|that model|the server|our"
    r" servers?"
    r"|the (?:api|engine|service))\b[\w ]{0,40}\b(?:at capacity|overloaded|unavailable|error|busy|down|not"
    r" (?:respond|exist)"
    r"|does not exist|responded|returned|timed out|too many)\b",
    r"(?:something|some ?thing|an error|an unexpected error|an internal error|a network error|there was (?:an"
    r" error|a problem"
    r"|an issue)|there has been an error)(?: has| have)? (?:went|gone|goes|occurred|happened|occured|generating|while"
    r"|processing|with (?:the|your) (?:request|response|server)|in (?:the|your) (?:request|response|server))\b",
    r"(?:failed|unable|could not|couldn't|cannot|can't) (?:to )?(?:read|load|get|fetch|generate|parse|connect"
    r"|decode|process"
    r"|retrieve|complete|reach|resolve|establish|authenticate)(?: \w+){0,4} (?:response|request|server|api|host|model"
    r"|output|answer|json|description|connection|data|url|page|message|content|stream|completion|result)s?\b",
    r"max(?:imum)? retries|max(?:imum)? (?:context length|tokens)|connection (?:error|refused|reset|aborted|timed"
    r" out)",
    r"(?:the |your )?(?:invalid|incorrect|missing|wrong|expired|no) (?:api|access|openai)[ -]?(?:key|token)",
    r"(?:the |your )?(?:api|access|login|session|openai)[ -]?(?:key|token|session)(?: has| is| was)? "
    r"(?:expired|invalid|missing|incorrect|not)",
    r"(?:the |your )?(?:response|request|prompt|content|output|input|message) (?:was|has been|is|were) "
    r"(?:filtered|blocked|flagged|rejected|truncated|terminated|cut off|moderated|refused|empty|too long|invalid)",
    r"content[ _]filter|(?:blocked|flagged|filtered|stopped|refused) (?:by|due to|because of) (?:the |our"
    r" )?(?:content|safety"
    r"|moderation|policy)|finish_?reason",
    r"this model's maximum|(?:cuda )?out of memory|(?:http|request|read|connect(?:ion)?)[ -]?timeout",
    r"please (?:enable javascript|turn javascript|log ?in|sign in|verify (?:that )?you are)|checking (?:if the"
    r" site|your browser)",
    r"(?:log ?in|user|your) session|verify you are human|just a moment\.\.\.|too many (?:concurrent )?requests|no"
    r" choices",
    r"<(?:!doctype|html|head|body|\?xml)\b|\{\"(?:error|detail|message|status)\"|\[error\]|\(error\)|\[http",
    r"expecting value: line \d|json ?decode|unexpected (?:token|end of)|segmentation fault|core dumped|undefined"
    r" (?:is|variable)",
    r"conversation (?:not found|key not found)|model not found|no (?:response|answer|output) (?:from|received"
    r"|generated|was)",
)

ERROR_ANYWHERE = (
    r"traceback \(most recent call last\)",
    r"unusable response produced|try 'pkill",
    r"please try again(?: later| in a (?:few|moment|minute)| in \d)",
    r"(?:if (?:this|the) (?:issue|problem|error) persists|help\.openai\.com|platform\.openai\.com)",
    r"communicating with (?:openai|the (?:api|server))",
)

REFUSAL_START = (
    r"(?:the )?(?:description|information|answer|data)(?: provided)? (?:is |was )?(?:not available|unavailable"
    r"|not found|not provided"
    r"|missing|insufficient|not enough|not sufficient)",
    r"the (?:label|term|word|name)(?: \S+){0,3} is (?:not recogni[sz]ed|not a (?:real|valid|known)|unknown to me)",
    r"it depends (?:on|who)\b",
    r"(?:(?:i'm|i am|we're|we are|so|very|really|terribly|oh|ah|hi|hello)[ ,]+)*sorry(?:[,.:;!]|$| (?:but|for|i|if"
    r"|we|about|that"
    r"|this is|there|no|to|can't|cannot|could|it)\b)",
    r"(?:my |our |please accept (?:my|our) |many )?(?:sincer\w+ |deep\w* |humbl\w+ )?apolog(?:y|ies)(?:[,.:!]|$|"
    r" (?:for|but|if|as)\b)",
    r"unfortunately,? (?:i|we|there|it|no|this|that|the|without|as|not|my|your)\b",
    r"(?:no|not enough|insufficient|not sufficient|inadequate|lack of)(?: \w+)? (?:information|context|details?|data)"
    r"(?:[,.!]|$| (?:is|was|are|were|available|provided|given|found|to|for|about|on)\b)",
    r"(?:image|photo|picture|link|url) (?:is )?not (?:available|found|provided|visible|attached|loaded)",
    r"(?:none|not) (?:specified|provided|given|available|mentioned)(?: (?:in|by) .*)?$",
    r"(?:this|the|your) (?:request|question|prompt|query|input|message|label|term|word|name)(?: \S+){0,4} "
    r"(?:is (?:unclear|ambiguous|incomplete|not clear|invalid|too (?:vague|broad|general)|inappropriate|vague"
    r"|nonsensical)"
    r"|does not (?:make sense|refer|correspond|exist|appear)|doesn't (?:make sense|refer|correspond|exist|appear)"
    r"|violates|goes against|cannot be)",
)

REFUSAL_SENTENCE = (
    rf"(?:i|we) ?{_CANNOT}\b(?! (?:help but|wait|get enough|resist|stop|even|imagine|stress|believe)\b)",
    r"(?:i|we)(?: am|'m| are|'re)? (?:sincerely |deeply |truly |do )?apologi[sz]e\b",
    r"(?:i'm|i am) (?:really |very |so )?(?:sorry\b(?!-)|afraid (?:i|that|there|it)\b|not (?:sure|certain|familiar"
    r"|aware|clear|trained"
    r"|allowed|permitted|going to|capable|comfortable)\b|unsure|unfamiliar|unaware|just an? |only an? )",
    r"(?:i|we) (?:don't|do not|didn't|did not) (?:know|have|understand|recogni[sz]e|feel comfortable|think i can"
    r"|see (?:any|an|the)"
    r" (?:image|photo|picture|attachment)|quite understand)\b",
    r"(?:i|we) (?:have no|haven't|have not|lack|need more|need additional|need further|would need|will need"
    r"|require)\b",
    r"(?:could|can|would|will) you (?:please |kindly )?(?:provide|clarify|specify|give|tell|share|rephrase"
    r"|elaborate|explain"
    r"|confirm|send|be more|describe|upload)\b",
    r"(?:please|kindly) (?:provide|clarify|specify|give|share|rephrase|elaborate|confirm|upload|attach|check|let"
    r" me know|refer to"
    r"|be more|try|ask|consult|supply|enter|note that (?:i|as|this|the (?:above|description|answer))\b)",
    r"if you (?:can|could|have|would like|want|need|provide|give|let me|tell me|meant|are (?:referring|looking"
    r"|asking))\b[^.]{0,80}"
    r"\b(?:i can|i could|i'd|i would|i'll|let me know|feel free|please)\b",
)

REFUSAL_ANYWHERE = (
    r"\bas an? (?:[\w-]+ ){0,2}ai (?:language )?(?:model|assistant|system|program)\b",
    r"\bas an? (?:ai|a\.i\.)(?=[ ,-]+(?:language|model|assistant|system|chatbot|text|i\b|developed|created"
    r"|trained)|,|$)",
    r"\bas an? (?:large |text-based |ai |ai-powered )*(?:artificial intelligence|language model|virtual assistant"
    r"|digital"
    r" assistant|ai assistant|chatbot|responsible ai)\b",
    r"\b(?:i'm|i am|being) (?:just |only |merely )?an? (?:ai\b|artificial intelligence|(?:large |text-based"
    r" )*language model|chatbot"
    r"|virtual assistant|text-based)",
    r"\bas an? (?:[\w-]+,? (?:and )?){0,4}(?:assistant|program|platform|api|tool)(?=[^.]{0,20}\b(?:i|we)\b)",
    r"\bmy (?:training data|knowledge cut-?off|programming|guidelines|capabilities|database|knowledge (?:base|is"
    r" limited))\b",
    rf"\bi ?{_CANNOT} (?:{_DESCRIBE}|help(?! but)|assist|see|view|find|determine|identify|access|accurately|think"
    rf" of|say|tell|recall"
    r"|be sure|confirm)\b",
    rf"\b(?:it is|it's|it would be|it was|it isn't|is it) (?:not (?:possible|feasible|appropriate)|impossible) to "
    rf"(?:accurately |fully |really |precisely |definitively |visually )?(?:{_DESCRIBE}|determine|identify|say"
    rf"|tell|know|list|name)\b",
    rf"\b(?:it is|it's) (?:very |quite |extremely )?(?:not easy|difficult|hard|challenging|tough) to (?:accurately"
    rf" |fully |really )?"
    rf"(?:{_DESCRIBE}|say|list)\b",
    r"\b(?:there is|there's|there are|there was|there isn't|there aren't|there doesn't seem to be) (?:not |no |n't"
    r" )?(?:\w+ )?(?:enough "
    r"|sufficient |adequate |insufficient |more |further |specific |available )+(?:information|context|details?"
    r"|data)\b",
    r"\bthere (?:is|isn't|are|was|can be)(?: not|n't)? ?(?:really )?(?:no|a|an|any|one)?(?: \w+){0,3} (?:answer"
    r"|way to answer)\b",
    r"\b(?:there is|there's) no (?:information|description|image|photo|picture|data|record)s? (?:available"
    r"|provided|of|about|on|for|for"
    r"|found)\b",
    r"\bthere (?:is|are|was)(?: no|n't any)(?: known| real| such)+ (?:thing|bird|animal|plant|species|word|object"
    r"|breed|place|car|dish"
    r"|creature|insect|fish|flower|item|concept|model)\b",
    r"\b(?:is|are) not an? (?:specific|known|real|recogni[sz]ed|valid|well-known|widely|standard|commonly|familiar"
    r"|existing|actual)"
    r"(?: \w+){0,3} (?:species|term|word|object|name|breed|animal|plant|thing|item|category|phrase|concept|label"
    r"|bird)\b",
    r"\b(?:without|need|needs|requires?|provide)(?: \w+)? (?:more|further|additional|any|enough|sufficient)"
    r" (?:\w+ )?"
    r"(?:information|context|details?|clarification)\b",
    r"\b(?:against|violates?|violating|comply with|due to|per) (?:my|our|the|openai's|your) (?:\w+ )?(?:guidelines"
    r"|polic(?:y|ies)"
    r"|programming|terms of (?:use|service))\b",
)

TALK_START = (
    r"(?:visual|short|brief|physical|one-sentence|detailed) descriptions?:|\{ ?\"\w+\" ?:",
    r"(?:here are|these are|the following are) (?:some|the|a few|several|\d+|two|three|four|five)"
    r" [^.]{0,40}(?:feature|characteristic|trait|detail)",
    r"(?:please |can you |could you )?(?:describe|list|write|name) (?:the|a|an|what|how|this|some|three|five)\b",
    r"(?:what|how|which|why|who|where|does|do|is|are)\b[^.]*\?$",
    r"(?:sure|certainly|of course|absolutely|definitely|okay|ok|alright|all right|great|no problem|gladly"
    r"|understood|got it|yes|hello|hi"
    r"|hey|thanks?(?: you)?(?: for .{0,40})?)(?: thing)?[!,.:]",
    r"(?:here's|here is|here are|here you go|below (?:is|are)|the following (?:is|are)|these are|this"
    r" is)\b[^.]{0,80}\b(?:description|"
    r"descriptor|sentence|phrase|list|json|answer|response|example|caption|attribute|bullet|summar|explanation)[\w-]*"
    r"(?: (?:of|for|that|about|in|describing|based|to|you)\b|[:.!]|$)",
    r"(?:note|notes|disclaimer|important|caveat|answer|response|output|question|prompt|user|assistant|system"
    r"|explanation|reasoning|final"
    r" answer|json|translation|sentence|phrase|instruction|description|q|a|input|label|thought|analysis|revised"
    r"|edit|ps|p\.s)"
    r"(?: ?\d+)?(?: \([\w ]+\))?\**:",
    r"\((?:note|word count|\d+ words|this is|the (?:description|sentence|answer))\b",
    r"(?:i hope|hope|trust) (?:this|that|these|it|you)\b|let me know\b|feel free\b|is there anything else|do you"
    r" (?:want|need|have any)",
    r"(?:i'd be|i would be|i'm|i am|i'll be) (?:happy|glad|pleased|delighted|going) to\b|happy to help|(?:how"
    r"|what) (?:can|may) i",
    r"<\|?/?(?:think|thinking|answer|response|output|im_start|im_end|s|user|assistant|endoftext|eot_id)\|?>"
    r"|\[/?inst\]|```",
    r"(?:let's|let me|i need to|we need to|i should|i must|i have to|first, i|i'll|i will) (?:see|think|start"
    r"|begin|describe|answer|produce"
    r"|output|write|provide|respond|consider|generate|give|check|look at|break|make sure|try)\b",
    r"(?:okay|ok|alright|so|well|now|hmm), (?:so |the |i |let |we )",
    r"(?:based on|according to|as per|following|given) (?:the|your|this) (?:prompt|question|request|instructions?"
    r"|given|provided|label"
    r"|task|format|schema|information provided)\b",
    r"the (?:term|word|phrase|label|class|category|name) (?:\"|').{1,60}?(?:\"|') (?:(?:can|could|may|might)"
    r" (?:mean|refer to|have|be)"
    r" (?:\w+ )?(?:many|different|multiple|several|various|a variety|a lot|a few|a number|both|either)\b|is (?:not"
    r" |very |quite |too )*"
    r"(?:unclear|ambiguous|vague|broad|general|specific)|does not|doesn't|has (?:many|several|multiple|different))",
    r"(?:assuming|if|i assume|presuming)(?: that)? you(?:'re| are| meant?)\b[^.]{0,30}\b(?:asking|referring to"
    r"|talking about|mean)\b",
    r"the (?:user|prompt|question|task|instruction|schema)(?:s|'s)? (?:asks?|asked|is asking|wants?|wanted"
    r"|requests?|requires?|is to|says?"
    r"|does|provided|gives?|gave)\b",
    r"natürlich[!,.:]|gerne?[!,.:]|hier (?:ist|sind) (?:eine|die|ein|einige|der|deine|ihre) [^.]{0,60}(?:beschreib"
    r"|satz|sätze|liste|antwort"
    r"|merkmal|attribut)|bien s[uû]r[!,.: ]|voici (?:une|la|des|les|quelques|un|votre) [^.]{0,60}(?:descri|phrase"
    r"|liste|réponse|attribut"
    r"|caract)|por supuesto[!,.:]|claro[!,.:]|aquí (?:tienes|está|hay|va)|aqui está|certamente[!,.:]|certo[!,.:]"
    r"|ecco (?:una|la|un|le)"
    r" [^.]{0,60}(?:descri|frase|lista|rispost|attribut)|natuurlijk[!,.:]|hier is een|конечно[!,.]|вот (?:описание"
    r"|список)|当然[!,.!,。]"
    r"|好的[!,.!,。]|以下是|以下は|もちろん|はい、|물론|다음은",
)

TALK_ANYWHERE = (
    r"\b(?:in|for|of) this task\b",
    r"\bhope (?:this|that|these|it) helps?\b|\blet me know if\b|\bfeel free to (?:ask|let)\b|\bhappy to (?:help"
    r"|assist)\b",
    r"\b(?:this|your) (?:question|prompt)\b(?= (?:as|because|since|is|due|without|cannot|can't|has|with|asks|or)\b"
    r"|[,.]|$)",
    r"\byou(?:'re| are) (?:asking|requesting)\b|\byou (?:asked|requested|have provided|provided|mentioned)\b",
    r"\b(?:as|like) (?:you )?(?:requested|instructed)\b|\bper your (?:request|instructions?)\b|\bin json(?:"
    r" format)?\b",
    r"\bthe user\b(?= (?:asks|asked|is asking|has asked)\b)|</think>|<\|im_end\|>|<\|eot_id\|>|\[/inst\]",
    r"\b(?:sentence|description|phrase|answer|response) (?:as requested|you requested|above is|below is|is as"
    r" follows)\b",
)

SEARCHED_WORDS = frozenset(
    """
    again ai api answer appropriate assistant challenging chatbot clarification communicating context data
    description detail details difficult easy eot error feasible feel guidelines happy hard hope i ia if im
    image impossible information inst instructed instructions inteligencia inteligência intelligence issue
    json ki kindly know known model modello modelo modèle my not openai persists photo phrase picture pkill
    platform please policies policy possible problem program programming prompt question real record request requested
    response sentence sprachmodell such taalmodel task terms think tough traceback user we you
    """.split()  # noqa: SIM905
)
"""Each wording of the lists named SENTENCE and ANYWHERE contains one of these words, or a letter that is not ASCII: a
text with neither is not searched."""
