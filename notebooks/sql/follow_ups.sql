-- Patients with a later study of the same kind, and the days between
SELECT PatientID, StudyDescription, StudyDate,
  StudyDate - lag(StudyDate) OVER (PARTITION BY PatientID, StudyDescription ORDER BY StudyDate)
    AS days
FROM studies WHERE PatientID IS NOT NULL AND StudyDate IS NOT NULL
QUALIFY days IS NOT NULL ORDER BY PatientID, StudyDate;
