"""What can be said about a document by reading it: a function of the document alone, the same on every machine."""

from resources.content.analysers.analyse import VERSION, analyse

__all__ = ["VERSION", "analyse"]
