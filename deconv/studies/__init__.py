"""The paper's questions and their neighbours, a file or folder each: what is measured and how."""
