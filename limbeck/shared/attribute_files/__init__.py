"""Reading of attribute files that others published, for the service, the commands and `python -m distill`.

decoding        bytes to text: UTF-8, UTF-16, Windows-1252
cleaning        white space and invisible characters of texts and labels
json_documents  JSON whose faults have lines; repeated keys are faults of the key
document_shapes shapes of pandas, Hugging Face's viewer and FuDD, as records
listed_items    texts with bullets or numbers, as their items
label_texts     the shapes of JSON that lists texts by label
label2text      `folder number label` lines and their sentences
reading         what a reader counts and reports; all faults of a file at once
"""
