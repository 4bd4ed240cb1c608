"""What a person names as pictures: folders, tables, tars, data sets, web addresses, exports of others."""
