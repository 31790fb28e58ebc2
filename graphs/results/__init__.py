"""After the search: promotion, finals, the result folder, the final test."""
