package report

import _ "embed"

// The forms of what a run leaves for other programs, as JSON Schema (draft
// 2020-12): of each line of its journal, and of what [JSON] writes.
var (
	//go:embed schema/journal.schema.json
	journalSchema []byte
	//go:embed schema/summary.schema.json
	summarySchema []byte
)

// Schemas are these, by name.
var Schemas = map[string][]byte{"journal": journalSchema, "summary": summarySchema}
