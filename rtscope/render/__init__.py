"""Columns, tables, trees and documents, shared by the command line and the view."""
