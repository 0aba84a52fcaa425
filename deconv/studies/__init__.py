"""What is measured and how, a file or folder a question: the paper's, then related ones."""
