"""Refusals in other languages than English, for `attributes.meta_text`, in the form of `attributes.meta_wordings`."""

REFUSAL_START = {
    "de": r"(?:es )?tut (?:mir|uns) (?:sehr |wirklich |aufrichtig )?leid|(?:ich bitte um )?entschuldigung\b|leider"
    r" (?:kann|konnte|ist|gibt|habe"
    r"|liegt|liegen|fehl\w+|bin|weiß)\b|ich (?:kann|konnte|darf) (?:\w+ )?(?:\w+ )?(?:nicht|keine?n?|leider)\b|ich"
    r" (?:bin (?:leider )?nicht"
    r"|habe (?:leider )?keine?n?|weiß (?:leider )?nicht|verstehe nicht)|bitte (?:gib|geben|stell|lade|teile|nenn"
    r"|beschreib|versuch|präzis)"
    r"|es ist (?:mir )?(?:leider )?nicht möglich|als (?:ki\b|künstliche|sprachmodell)",
    "fr": r"(?:je suis |nous sommes )?(?:vraiment |sincèrement )?d[ée]sol[ée]e?s?\b|je (?:m'excuse|ne peux|ne suis"
    r" pas|n'ai pas|ne sais pas|ne"
    r" dispose|regrette|ne connais|ne comprends)|malheureusement,? (?:je|il|nous|aucun)|veuillez (?:fournir"
    r"|pr[ée]ciser|r[ée]essayer)|il (?:est"
    r" impossible|n'est pas possible|m'est impossible) de|en tant qu'?(?:ia|intelligence|assistant|e mod)"
    r"|pourriez-vous",
    "es": r"lo (?:siento|lamento)|lamento|lamentablemente,? (?:no|yo)|desafortunadamente,? (?:no|yo)|(?:te |le"
    r" )?pido disculpas|disculp[ae]|perd[óo]n\b"
    r"|no (?:puedo|tengo|dispongo|me es posible|estoy segur|es posible (?:describir|proporcionar|dar)|conozco|hay"
    r" (?:suficiente|información))"
    r"|como (?:un )?(?:modelo de lenguaje|ia\b|inteligencia artificial|asistente)|por favor,? (?:proporcion"
    r"|especifi|int[ée]nt)|¿podrías",
    "pt": r"(?:me )?desculpe|desculpa\b|sinto muito|lamento|infelizmente,? (?:não|eu|n[ãa]o)|peço desculpas?|não"
    r" (?:posso|consigo|tenho|é possível"
    r" (?:descrever|fornecer)|sei|há informaç)|eu não (?:posso|consigo|tenho|sei)|como (?:um |uma )?(?:modelo de"
    r" linguagem|ia\b|inteligência"
    r" artificial|assistente)|por favor,? (?:forne|especifi|tente)",
    "it": r"mi (?:dispiace|scuso)|(?:sono )?spiacente|scus[ai]\b|purtroppo,? (?:non|io|la|il)|non (?:posso|sono in"
    r" grado|ho (?:abbastanza"
    r"|informaz)|è possibile (?:descrivere|fornire)|so\b|conosco)|come (?:modello|ia\b|intelligenza artificiale"
    r"|assistente)|per favore,? (?:forn"
    r"|specific|riprova)",
    "nl": r"het spijt (?:me|mij|ons)|sorry\b(?!-)|excuses|helaas (?:kan|heb|is|weet)|ik (?:kan|kon|heb|ben|weet)"
    r" (?:\w+ )?(?:niet|geen|helaas)"
    r"|als (?:ai\b|taalmodel|een (?:ai\b|taalmodel))|geef (?:alstublieft|meer)",
    "sv": r"(?:jag är )?(?:ledsen|tyvärr)\b|förlåt\b|jag kan (?:inte|tyvärr)|jag har (?:ingen|inte)|som (?:en"
    r" )?(?:ai|språkmodell)",
    "da": r"(?:jeg )?beklager|undskyld|desværre\b|jeg kan (?:ikke|desværre)|som (?:en )?(?:ai|sprogmodel)",
    "no": r"(?:jeg )?beklager|unnskyld|dessverre\b|jeg kan (?:ikke|dessverre)|som (?:en )?(?:ai|språkmodell)",
    "fi": r"valitettavasti|pahoittelen|anteeksi|olen pahoillani|en (?:voi|pysty|osaa)\b|tekoälynä",
    "pl": r"(?:bardzo )?przepraszam|(?:jest mi )?przykro|niestety,? (?:nie|jako)|nie mogę|nie jestem w stanie|jako"
    r" (?:model|ai|sztuczn)",
    "cs": r"(?:omlouvám|omluv)|bohužel|je mi líto|nemohu|nemůžu|jako (?:jazykový|ai|umělá)",
    "tr": r"(?:çok )?üzgünüm|maalesef|özür dilerim|ne yazık ki|bir yapay zek[aâ]|yapay zek[aâ] (?:dil )?model",
    "ru": r"извините|простите|(?:к|увы,) сожалению|мне (?:очень )?жаль|прошу прощения|я не (?:могу|знаю|в"
    r" состоянии|имею)|как (?:языковая модель|ии\b"
    r"|искусственный)|пожалуйста, (?:уточните|предоставьте|попробуйте)|недостаточно (?:информации|данных)"
    r"|невозможно описать",
    "uk": r"вибачте|на жаль|перепрошую|я не (?:можу|знаю)|як (?:мовна модель|ші\b)",
    "zh": r"(?:很|非常|十分|真的|我)?(?:抱歉|对不起|對不起|遗憾|遺憾)|不好意思|我(?:无法|無法|不能|不知道|不清楚"
    r"|没有|沒有)|作为(?:一个|一款|一名|一種)?"
    r"(?:ai|人工智能|语言模型|大型)|作為(?:一個|一款)?(?:ai|人工智慧|語言模型)|(?:目前)?(?:无法|無法)(?:描述"
    r"|提供|回答|确定|確定|识别|生成)|请(?:提供|您提供|稍后|重试|重新)"
    r"|請(?:提供|稍後)|信息不足|没有足够|沒有足夠",
    "ja": r"(?:大変|誠に)?(?:申し訳|申しわけ)|すみません|すいません|ごめんなさい|残念ながら|恐れ入りますが"
    r"|恐縮ですが|私は(?:ai|人工知能|言語モデル)|ai(?:言語モデル|アシスタント)?"
    r"として|(?:お答え|回答|説明|描写|提供|対応)(?:することは|は)?(?:でき|いたしかね)|情報が(?:不足|足り"
    r"|ありません)|もう(?:一度|少し)|(?:よく)?(?:わかりません|分かりません|存じません)",
    "ko": r"(?:정말 |대단히 )?(?:죄송|미안)|유감|아쉽게도|안타깝게도|저는 (?:ai|인공지능|언어 ?모델)|ai (?:언어"
    r" ?)?모델|(?:답변|설명|제공|묘사)(?:을|를)?(?:"
    r" 드릴|할|해 드릴) 수 없|정보가 (?:부족|충분)|(?:잘 )?모르겠",
    "ar": r"(?:أنا )?(?:آسف|اسف|أعتذر|عذر|نعتذر)|للأسف|لا (?:أستطيع|يمكنني|أملك|يمكن وصف)|كنموذج|بصفتي (?:نموذج"
    r"|ذكاء)",
    "hi": r"क्षमा करें|मुझे (?:खेद|माफ|क्षमा)|माफ|खेद है|दुर्भाग्य|एक (?:ai|एआई|भाषा मॉडल)|मैं .{0,40}(?:नहीं"
    r"|असमर्थ)",
    "vi": r"(?:tôi )?(?:rất )?(?:xin lỗi|rất tiếc)|tôi không (?:thể|có|biết)|là (?:một )?(?:mô hình|ai)\b",
    "id": r"(?:mohon )?maaf|sayangnya|saya tidak (?:dapat|bisa|memiliki|tahu)|sebagai (?:model|ai|asisten)\b",
    "th": r"(?:ขออภัย|ขอโทษ|เสียใจ)|(?:ฉัน|ผม)ไม่(?:สามารถ|ทราบ|มี)",
    "el": r"(?:λυπάμαι|συγγνώμη|δυστυχώς|ζητώ συγγνώμη)|δεν (?:μπορώ|γνωρίζω|έχω)",
    "he": r"(?:אני )?(?:מצטער|סליחה|לצערי|מתנצל)|אני לא (?:יכול|יודע)",
    "hu": r"(?:sajnálom|sajnos|elnézést|bocsánat)|nem tudom|nem tudok",
    "ro": r"(?:îmi pare rău|ne pare rău|din păcate|scuze)|nu pot\b|ca model",
    "ca": r"(?:ho sento|em sap greu|lamentablement|malauradament)|no puc\b|com a model",
}
"""Refusals at the beginning of a text, by language (ISO 639-1)."""

REFUSAL_ANYWHERE = (
    r"\bals (?:ki-)?sprachmodell\b|\bals ki-(?:modell|assistent)|\ben tant qu(?:e modèle|'assistant|'ia\b"
    r"|'intelligence artificielle)",
    r"\bcomo (?:un |uma? )?(?:modelo de (?:lenguaje|linguagem)|inteligencia artificial|inteligência artificial)",
    r"\bcome (?:un )?modello linguistico|\bals taalmodel\b|作为(?:一个)?(?:人工智能|语言模型|ai)|ai言語モデル"
    r"|언어 ?모델로서|как языковая"
    r" модель",
)
