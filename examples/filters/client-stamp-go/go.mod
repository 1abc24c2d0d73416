module client-stamp

go 1.24

// What a filter may ask of its host; in a project of its own this folder is part of it.
require gimbal v0.0.0

replace gimbal => ../../../filters/templates/go/gimbal
