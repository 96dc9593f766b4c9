"""Operations: each file one OperationDefinition and its handler."""
